# Read the answers to the jobs in a file of message ids, as one process of a consumer group.
#
#     ruby read.rb PROCESS FILE           until every job is answered
#     ruby read.rb PROCESS FILE --crash   and die between doing the work of the first answer and acknowledging it

require "json"
require "redis"
require "set"

STREAM = "coupontools:events"
GROUP = "example-ruby"
# What one process has not acknowledged after so many milliseconds, another takes over. Choose more than your slowest event takes.
IDLE = 2_000
# How long an event's id is remembered, in seconds: longer than anybody could take it over.
REMEMBERED = 7 * 86_400

CLIENT = Redis.new(url: ENV.fetch("REDIS_URL"))
$stdout.sync = true

# Return what others left unacknowledged, then what is new: pairs of an entry's id and its fields.
def entries(process)
  left = CLIENT.xautoclaim(STREAM, GROUP, process, IDLE, "0-0", count: 100)["entries"]
  new = CLIENT.xreadgroup(GROUP, process, STREAM, ">", count: 100, block: 1_000)
  # The stream's cap may have cut an entry off that was pending: Redis 6 tells it as nil.
  left.compact + new.fetch(STREAM, [])
end

# Do the work, unless it was done before, and return whether it was new.
#
# Here the work is to keep the event. Where yours is a change in a database, insert the event's id there in the same transaction.
def new?(event)
  CLIENT.set("#{GROUP}:event:#{event["id"]}", JSON.generate(event), nx: true, ex: REMEMBERED)
end

process, file, flag = ARGV
# A listing is answered when all of its pages have come.
waiting = File.readlines(file, chomp: true).to_h { |message_id| [message_id, Set.new] }
give_up = Time.now + 45
until waiting.empty?
  abort "not answered within 45 s: #{waiting.keys.join(", ")}; does a worker run?" if Time.now > give_up
  entries(process).each do |entry, fields|
    event = JSON.parse(fields["event"])
    message_id, page = event["id"].split("/")
    if (pages = waiting[message_id])
      puts "#{process}: #{event["type"]} #{event["subject"]} (#{new?(event) ? "new" : "handled before, dropped"})"
      Process.kill(:KILL, Process.pid) if flag == "--crash"
      pages << page
      waiting.delete(message_id) if pages.size == event["data"].fetch("pages", 1)
    end
    CLIENT.xack(STREAM, GROUP, entry)
  end
end
