# Enqueue all five jobs, and print their message ids.

require "json"
require "redis"
require "securerandom"

STREAM = "coupontools:events"
GROUP = "example-ruby"

CLIENT = Redis.new(url: ENV.fetch("REDIS_URL"))

# Create it before the first job: "$" is the end of the stream at this moment, so no answer is in its past.
def create_consumer_group
  CLIENT.xgroup(:create, STREAM, GROUP, "$", mkstream: true)
rescue Redis::CommandError => error
  raise unless error.message.start_with?("BUSYGROUP")
end

# Enqueue one job and print its message id, by which its answer is found.
def enqueue(queue, actor, **arguments)
  entry = SecureRandom.uuid
  message = {
    queue_name: queue,
    actor_name: actor,
    args: [],
    kwargs: arguments,
    options: { redis_message_id: entry },
    message_id: SecureRandom.uuid,
    message_timestamp: (Time.now.to_f * 1000).to_i
  }
  # In one MULTI: neither stands there without the other.
  CLIENT.multi do |transaction|
    transaction.hset("dramatiq:#{queue}.msgs", entry, JSON.generate(message))
    transaction.rpush("dramatiq:#{queue}", entry)
  end
  puts message[:message_id]
end

# Return the event that answers the job with this `reply_to`.
def wait_for_answer(reply_to)
  _, answer = CLIENT.blpop("coupontools:reply:#{reply_to}", timeout: 30)
  abort "no answer within 30 s: does a worker run?" if answer.nil?
  JSON.parse(answer)
end

create_consumer_group
reply_to = "#{GROUP}-#{SecureRandom.uuid}"
enqueue("groups", "create_group", channel: "sms", name: "Example #{reply_to}", reply_to: reply_to)
answer = wait_for_answer(reply_to)
abort "the group was not created: #{answer["data"]}" if answer["type"] != "coupontools.group.created"
group_id = answer["data"]["group_id"]
enqueue("contacts", "add_contact", channel: "sms", group_id: group_id, phone: "+32470123456", first_name: "Ada")
enqueue("reads", "list_groups", channel: "sms")
enqueue("reads", "list_contacts", channel: "sms", group_id: group_id)
enqueue("webhooks", "verify_webhook", payload: { id: "evt_#{SecureRandom.hex}", type: "coupon_validated" })
