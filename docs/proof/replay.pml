/* replay.pml: the steps of ledger.pml one after another, as a test feeds them: what the real scripts did, and what they left in Redis. */

#include "ledger.pml"

mtype = { begin, put, take, back, claims, settles, lists, judges, wakes, time, expect_record, expect_message };

chan feed = [0] of { mtype, byte, byte, byte, mtype, byte };

active proctype replayer() {
  mtype step, what;
  byte a, b, c, d;
end:
  do
  :: feed?step(a, b, c, what, d) ->
     atomic {
       if
       :: step == begin ->
          derived = a; state = absent; verdict = untold; fingerprint = 0; token = NOBODY; lease = false; due = false; long_ago = false;
          listed = false; behind = M; reader = NOBODY; paused = false; c = 0;
          for (c : 0 .. M - 1) {
            asks[c] = 1; body[c] = false; ready[c] = false; delayed[c] = false; is_parked[c] = false; overdue[c] = false;
            answer[c] = not_answered; events[c] = 0; acks[c] = false; acks[M + c] = false; acks[2 * M + c] = false
          }
       :: step == put -> asks[a] = b; enqueue(a)
       :: step == take -> fetch(a, b)
       :: step == back -> hand_back(a, b)
       :: step == claims -> claim(a, b, c); assert(word == what)
       :: step == settles -> settle(a, b, c, what, (d & 1)); assert(mine == (d >> 1))
       :: step == lists -> list_unknowns(); assert(listed == a)
       :: step == judges -> judge(a, b, what)
       :: step == wakes -> bring_back(a)
       :: step == time -> lease = a & 1; due = (a >> 1) & 1; long_ago = long_ago || due; paused = (a >> 2) & 1;
          overdue[0] = (a >> 3) & 1; overdue[1] = (a >> 4) & 1;
          if :: (a >> 5) & 1 -> reader = NOBODY :: else fi
       :: step == expect_record -> assert(state == what && token == a)
       :: step == expect_message ->
          assert(events[a] == c && ready[a] == (b & 1) && delayed[a] == ((b >> 1) & 1) && is_parked[a] == ((b >> 2) & 1)
                 && acks[a] == ((b >> 3) & 1) && acks[M + a] == ((b >> 4) & 1))
       fi
     }
  od
}
