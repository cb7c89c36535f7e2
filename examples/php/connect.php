<?php

const STREAM = 'coupontools:events';
const GROUP = 'example-php';

/** Return a client of the Redis that REDIS_URL names, for example redis://user:password@host:6379/0. */
function connect(): Redis
{
    $url = parse_url(getenv('REDIS_URL') ?: 'redis://127.0.0.1:6379/0');
    $host = ($url['scheme'] === 'rediss' ? 'tls://' : '') . ($url['host'] ?? '127.0.0.1');
    $client = new Redis();
    $client->connect($host, $url['port'] ?? 6379);
    if (isset($url['pass'])) {
        $names = array_filter([$url['user'] ?? '', $url['pass']], fn (string $name) => $name !== '');
        $client->auth(array_map('rawurldecode', array_values($names)));
    }
    $client->select((int) ltrim($url['path'] ?? '', '/'));
    // Longer than any command below waits for an answer.
    $client->setOption(Redis::OPT_READ_TIMEOUT, 60);
    return $client;
}

function uuid(): string
{
    return bin2hex(random_bytes(16));
}
