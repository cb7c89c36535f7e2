<?php

// Enqueue all five jobs, and print their message ids.

require __DIR__ . '/connect.php';

/** Enqueue one job and print its message id, by which its answer is found. */
function enqueue(Redis $client, string $queue, string $actor, array $arguments): void
{
    $entry = uuid();
    $message = [
        'queue_name' => $queue,
        'actor_name' => $actor,
        'args' => [],
        // An object also when it is empty: PHP would write [].
        'kwargs' => (object) $arguments,
        'options' => ['redis_message_id' => $entry],
        'message_id' => uuid(),
        'message_timestamp' => (int) (microtime(true) * 1000),
    ];
    // In one MULTI: neither stands there without the other.
    $client->multi()
        ->hSet("dramatiq:$queue.msgs", $entry, json_encode($message, JSON_THROW_ON_ERROR))
        ->rPush("dramatiq:$queue", $entry)
        ->exec();
    echo $message['message_id'], "\n";
}

/** Return the event that answers the job with this `reply_to`. */
function wait_for_answer(Redis $client, string $reply_to): object
{
    $answer = $client->blPop(["coupontools:reply:$reply_to"], 30);
    if (!$answer) {
        throw new RuntimeException('no answer within 30 s: does a worker run?');
    }
    return json_decode($answer[1], flags: JSON_THROW_ON_ERROR);
}

$client = connect();
// Before the first job: "$" is the end of the stream at this moment, so no answer is in its past. False if the group is there already.
$client->xGroup('CREATE', STREAM, GROUP, '$', true);
$reply_to = GROUP . '-' . uuid();
enqueue($client, 'groups', 'create_group', ['channel' => 'sms', 'name' => "Example $reply_to", 'reply_to' => $reply_to]);
$answer = wait_for_answer($client, $reply_to);
if ($answer->type !== 'coupontools.group.created') {
    throw new RuntimeException('the group was not created: ' . json_encode($answer->data));
}
$group_id = $answer->data->group_id;
$contact = ['channel' => 'sms', 'group_id' => $group_id, 'phone' => '+32470123456', 'first_name' => 'Ada'];
enqueue($client, 'contacts', 'add_contact', $contact);
enqueue($client, 'reads', 'list_groups', ['channel' => 'sms']);
enqueue($client, 'reads', 'list_contacts', ['channel' => 'sms', 'group_id' => $group_id]);
// Not json_decode($body, true): every {} in the webhook would come back as [].
$body = json_decode('{"id": "evt_' . uuid() . '", "type": "coupon_validated", "customer": {}}');
enqueue($client, 'webhooks', 'verify_webhook', ['payload' => $body]);
