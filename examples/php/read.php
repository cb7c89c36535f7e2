<?php

// Read the answers to the jobs in a file of message ids, as one process of a consumer group.
//
//     php read.php PROCESS FILE           until every job is answered
//     php read.php PROCESS FILE --crash   and die between doing the work of the first answer and acknowledging it

require __DIR__ . '/connect.php';

/** What one process has not acknowledged after so many milliseconds, another takes over. Choose more than your slowest event takes. */
const IDLE = 2_000;
/** How long an event's id is remembered, in seconds: longer than anybody could take it over. */
const REMEMBERED = 7 * 86_400;

/** Return what others left unacknowledged, then what is new: the event's text by the id of its entry. */
function entries(Redis $client, string $process): array
{
    $texts = [];
    // phpredis has a method for this from version 6 on.
    [, $left] = $client->rawCommand('XAUTOCLAIM', STREAM, GROUP, $process, IDLE, '0-0', 'COUNT', 100);
    foreach ($left as $entry) {
        // The stream's cap may have cut an entry off that was pending: Redis 6 tells it as false.
        if ($entry) {
            [$id, [, , , $texts[$id]]] = $entry;
        }
    }
    $new = $client->xReadGroup(GROUP, $process, [STREAM => '>'], 100, 1_000) ?: [];
    return $texts + array_map(fn (array $fields) => $fields['event'], $new[STREAM] ?? []);
}

/**
 * Do the work, unless it was done before, and return whether it was new.
 *
 * Here the work is to keep the event. Where yours is a change in a database, insert the event's id there in the same transaction.
 */
function is_new(Redis $client, string $id, string $text): bool
{
    return $client->set(GROUP . ":event:$id", $text, ['nx', 'ex' => REMEMBERED]);
}

[, $process, $file] = $argv;
$client = connect();
// A listing is answered when all of its pages have come.
$waiting = array_fill_keys(file($file, FILE_IGNORE_NEW_LINES), []);
$give_up = time() + 45;
while ($waiting) {
    if (time() > $give_up) {
        throw new RuntimeException('not answered within 45 s: ' . implode(', ', array_keys($waiting)) . '; does a worker run?');
    }
    foreach (entries($client, $process) as $entry => $text) {
        $event = json_decode($text, flags: JSON_THROW_ON_ERROR);
        [$message_id, $page] = explode('/', $event->id . '/');
        if (isset($waiting[$message_id])) {
            $told = is_new($client, $event->id, $text) ? 'new' : 'handled before, dropped';
            echo "$process: {$event->type} ", $event->subject ?? '', " ($told)\n";
            if (in_array('--crash', $argv, true)) {
                exec('kill -9 ' . getmypid());
            }
            $waiting[$message_id][$page] = true;
            if (count($waiting[$message_id]) === ($event->data->pages ?? 1)) {
                unset($waiting[$message_id]);
            }
        }
        $client->xAck(STREAM, GROUP, [$entry]);
    }
}
