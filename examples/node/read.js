// Read the answers to the jobs in a file of message ids, as one process of a consumer group.
//
//     node read.js PROCESS FILE           until every job is answered
//     node read.js PROCESS FILE --crash   and die between doing the work of the first answer and acknowledging it

import { readFileSync } from "node:fs";
import { createClient } from "redis";

const STREAM = "coupontools:events";
const GROUP = "example-node";
// What one process has not acknowledged after so many milliseconds, another takes over. Choose more than your slowest event takes.
const IDLE = 2_000;
// How long an event's id is remembered, in seconds: longer than anybody could take it over.
const REMEMBERED = 7 * 86_400;

const [name, file, flag] = process.argv.slice(2);
const client = await createClient({ url: process.env.REDIS_URL }).connect();

/** Return what others left unacknowledged, then what is new. */
async function entries() {
  const { messages: left } = await client.xAutoClaim(STREAM, GROUP, name, IDLE, "0-0", { COUNT: 100 });
  const streams = await client.xReadGroup(GROUP, name, { key: STREAM, id: ">" }, { COUNT: 100, BLOCK: 1_000 });
  // The stream's cap may have cut an entry off that was pending: Redis 6 tells it as null.
  return [...left.filter((entry) => entry !== null), ...(streams?.[0].messages ?? [])];
}

/**
 * Do the work, unless it was done before, and return whether it was new.
 *
 * Here the work is to keep the event. Where yours is a change in a database, insert the event's id there in the same transaction.
 */
async function isNew(event) {
  const key = `${GROUP}:event:${event.id}`;
  return (await client.set(key, JSON.stringify(event), { NX: true, EX: REMEMBERED })) !== null;
}

// A listing is answered when all of its pages have come.
const waiting = new Map(readFileSync(file, "utf8").trim().split("\n").map((id) => [id, new Set()]));
const giveUp = Date.now() + 45_000;
while (waiting.size > 0) {
  if (Date.now() > giveUp) throw new Error(`not answered within 45 s: ${[...waiting.keys()]}; does a worker run?`);
  for (const { id: entry, message } of await entries()) {
    const event = JSON.parse(message.event);
    const [messageId, page] = event.id.split("/");
    const pages = waiting.get(messageId);
    if (pages) {
      const told = (await isNew(event)) ? "new" : "handled before, dropped";
      console.log(`${name}: ${event.type} ${event.subject ?? ""} (${told})`);
      if (flag === "--crash") process.kill(process.pid, "SIGKILL");
      pages.add(page);
      if (pages.size === (event.data.pages ?? 1)) waiting.delete(messageId);
    }
    await client.xAck(STREAM, GROUP, entry);
  }
}
await client.close();
