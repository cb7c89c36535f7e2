// Enqueue all five jobs, and print their message ids.

import { randomUUID } from "node:crypto";
import { createClient } from "redis";

const STREAM = "coupontools:events";
const GROUP = "example-node";

const client = await createClient({ url: process.env.REDIS_URL }).connect();

/** Create it before the first job: "$" is the end of the stream at this moment, so no answer is in its past. */
async function createConsumerGroup() {
  try {
    await client.xGroupCreate(STREAM, GROUP, "$", { MKSTREAM: true });
  } catch (error) {
    if (!error.message.startsWith("BUSYGROUP")) throw error;
  }
}

/** Enqueue one job and print its message id, by which its answer is found. */
async function enqueue(queue, actor, kwargs) {
  const entry = randomUUID();
  const message = {
    queue_name: queue,
    actor_name: actor,
    args: [],
    kwargs,
    options: { redis_message_id: entry },
    message_id: randomUUID(),
    message_timestamp: Date.now(),
  };
  // In one MULTI: neither stands there without the other.
  await client
    .multi()
    .hSet(`dramatiq:${queue}.msgs`, entry, JSON.stringify(message))
    .rPush(`dramatiq:${queue}`, entry)
    .exec();
  console.log(message.message_id);
}

/** Return the event that answers the job with this `reply_to`. */
async function waitForAnswer(replyTo) {
  const answer = await client.blPop(`coupontools:reply:${replyTo}`, 30);
  if (answer === null) throw new Error("no answer within 30 s: does a worker run?");
  return JSON.parse(answer.element);
}

await createConsumerGroup();
const replyTo = `${GROUP}-${randomUUID()}`;
await enqueue("groups", "create_group", { channel: "sms", name: `Example ${replyTo}`, reply_to: replyTo });
const answer = await waitForAnswer(replyTo);
if (answer.type !== "coupontools.group.created") {
  throw new Error(`the group was not created: ${JSON.stringify(answer.data)}`);
}
const { group_id } = answer.data;
await enqueue("contacts", "add_contact", { channel: "sms", group_id, phone: "+32470123456", first_name: "Ada" });
await enqueue("reads", "list_groups", { channel: "sms" });
await enqueue("reads", "list_contacts", { channel: "sms", group_id });
const id = `evt_${randomUUID().replaceAll("-", "")}`;
await enqueue("webhooks", "verify_webhook", { payload: { id, type: "coupon_validated" } });
await client.close();
