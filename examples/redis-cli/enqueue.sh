#!/bin/sh
# Enqueue all five jobs, and print their message ids.
set -eu

stream=coupontools:events
group=example-redis-cli

# -e: an error of Redis is an error of the command.
cli() {
    redis-cli -u "$REDIS_URL" -e --raw "$@"
}

uuid() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

# Create it before the first job: "$" is the end of the stream at this moment, so no answer is in its past.
create_consumer_group() {
    error=$(cli XGROUP CREATE "$stream" "$group" '$' MKSTREAM 2>&1) && return
    case $error in
        BUSYGROUP*) ;;
        *) echo "$error" >&2; exit 1 ;;
    esac
}

# enqueue QUEUE ACTOR ARGUMENTS: prints the job's message id, by which its answer is found.
# A script is one step, as a MULTI is: neither the message nor its id stands there without the other.
enqueue() {
    entry=$(uuid)
    message_id=$(uuid)
    message='{"queue_name": "'$1'", "actor_name": "'$2'", "args": [], "kwargs": '$3', "options": {"redis_message_id": "'$entry'"},
        "message_id": "'$message_id'", "message_timestamp": '$(date +%s)'000}'
    cli EVAL 'redis.call("HSET", KEYS[1], ARGV[1], ARGV[2]) return redis.call("RPUSH", KEYS[2], ARGV[1])' \
        2 "dramatiq:$1.msgs" "dramatiq:$1" "$entry" "$message" > /dev/null
    echo "$message_id"
}

create_consumer_group
reply_to=$group-$(uuid)
enqueue groups create_group '{"channel": "sms", "name": "Example '"$reply_to"'", "reply_to": "'"$reply_to"'"}'
answer=$(cli BLPOP "coupontools:reply:$reply_to" 30)
if [ -z "$answer" ]; then
    echo "no answer within 30 s: does a worker run?" >&2
    exit 1
fi
# Redis has a parser for JSON, and a shell has none. The first line of the answer is the list's name.
group_id=$(cli EVAL 'return cjson.decode(ARGV[1]).data.group_id or ""' 0 "$(printf '%s\n' "$answer" | sed -n 2p)")
if [ -z "$group_id" ]; then
    echo "the group was not created: $answer" >&2
    exit 1
fi
enqueue contacts add_contact '{"channel": "sms", "group_id": "'"$group_id"'", "phone": "+32470123456", "first_name": "Ada"}'
enqueue reads list_groups '{"channel": "sms"}'
enqueue reads list_contacts '{"channel": "sms", "group_id": "'"$group_id"'"}'
enqueue webhooks verify_webhook '{"payload": {"id": "evt_'"$(uuid)"'", "type": "coupon_validated"}}'
