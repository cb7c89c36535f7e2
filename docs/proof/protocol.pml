/* protocol.pml: workers, the API, time and faults around ledger.pml. `make prove` checks it whole, case by case.

   A case is a set of -D options: how often each fault may strike (KILLS, TAKEOVERS, LOSSES, CUTS, PAUSES, CANCELS, UNDECIDED, FORGETS), whether
   deadlines pass (DEADLINES), whether the two messages ask for the same (DIFFER), and which of the assumptions does not hold
   (LATE, FREEZE). LIVE adds that everything is answered in the end. */

#include "ledger.pml"

#ifndef KILLS
#define KILLS 0
#endif
#ifndef TAKEOVERS
#define TAKEOVERS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#ifndef CUTS
#define CUTS 0
#endif
#ifndef PAUSES
#define PAUSES 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef UNDECIDED
#define UNDECIDED 0
#endif
#ifndef FORGETS
#define FORGETS 0
#endif

mtype = { idle, claiming, confirming, checking, sending, hearing, settling, listing, judging };   /* what a worker does */
mtype = { silence, ok, refused, not_now };                                            /* what the API says */

mtype phase[W] = idle;
byte at[W];                    /* the message it has in hand */
mtype op[W];
bool owned[W];
bool may_send[W];              /* does its lease last, by the worker's own clock? */
bool granted[W];               /* had it been told to call when the message was cancelled, which then says that it is in flight? */
bool flying[W];                /* has a request left that the API has not looked at? */
bool heard[W];
mtype says[W];
mtype seen[W];                 /* what the listing told */
byte strays;                   /* requests whose sender does not listen any more, and that the API may still carry out */
byte effects;                  /* how often the API has carried the job out */

byte kills = KILLS, takeovers = TAKEOVERS, losses = LOSSES, pauses = PAUSES, cancels = CANCELS, doubts = UNDECIDED, forgets = FORGETS;
byte turn, freezes = 1;

#define QUIET (!flying[0] && !flying[1] && strays == 0)
#define FETCHABLE(m) (ready[m] || delayed[m])
#define GRANTED(w, m) (at[w] == m && (phase[w] == confirming || phase[w] == checking || phase[w] == sending \
                                      || (phase[w] == claiming && state == running && token == w + 1)))
#ifdef LIVE
#define IN_TURN(m, n) (turn == m || !FETCHABLE(n))    /* a queue passes nobody over for ever */
#else
#define IN_TURN(m, n) true
#endif
#define ANSWERED (events[0] >= 1 && events[1] >= 1)

inline true_answer(m) {
  /* What an event says is so: success was carried out, and what ended for certain was not and will not be. */
  assert(!(events[m] > 0 && (told[m] == op_done || told[m] == op_replay)) || effects >= 1);
}

#if FORGETS > 0
byte i, j;
/* A Redis that loses what it wrote last: its record and messages become what they were at some moment before. */
mtype was_state, was_verdict, was_answer[M];
byte was_fingerprint, was_token, was_behind, was_events[M];
bool kept, this_claim[W], was_long_ago, was_lease, was_due, was_listed, was_body[M], was_ready[M], was_delayed[M], was_parked[M], was_acks[6];
#endif

#if FORGETS > 0
#define FORGET_CLAIM(w) this_claim[w] = false;
#else
#define FORGET_CLAIM(w)
#endif

inline die(w) {
  FORGET_CLAIM(w)
  if :: token == w + 1 -> token = DIED :: else fi;
  if :: reader == w + 1 -> reader = REST :: else fi;
  if :: owing_token[0] == w + 1 -> owing_token[0] = DIED :: else fi;
  if :: owing_token[1] == w + 1 -> owing_token[1] = DIED :: else fi;
  if :: HELD(w, 0) -> HELD(w, 0) = false; HELD(W, 0) = true :: else fi;
  if :: HELD(w, 1) -> HELD(w, 1) = false; HELD(W, 1) = true :: else fi;
  if :: flying[w] -> flying[w] = false; strays++ :: else fi;
  may_send[w] = false; granted[w] = false; heard[w] = false; fresh[w] = false; owned[w] = false; phase[w] = idle; at[w] = 0; op[w] = 0; says[w] = 0; seen[w] = 0
}

inline rest(w) {
  if :: token == w + 1 -> token = DIED :: else fi;
  FORGET_CLAIM(w)
  phase[w] = idle; at[w] = 0; op[w] = 0; owned[w] = false; may_send[w] = false; granted[w] = false }

inline cancel(m) {
  cancels--; printf("message %d is cancelled\n", m);
  cancelled[m] = true; granted[0] = granted[0] || GRANTED(0, m); granted[1] = granted[1] || GRANTED(1, m)
}

inline to_settle(w, what, its) { op[w] = what; owned[w] = its; phase[w] = settling }

#if FORGETS > 0
inline keep() {
  was_state = state; was_verdict = verdict; was_fingerprint = fingerprint; was_token = token; was_behind = behind;
  kept = true; this_claim[0] = token == 1; this_claim[1] = token == 2; was_lease = lease; was_due = due; was_long_ago = long_ago; was_listed = listed;
  for (i : 0 .. M - 1) {
    was_answer[i] = answer[i]; was_events[i] = events[i]; was_body[i] = body[i]; was_ready[i] = ready[i];
    was_delayed[i] = delayed[i]; was_parked[i] = is_parked[i]
  }
  for (i : 0 .. 5) { was_acks[i] = acks[i] }
  i = 0
}

inline forget() {
  state = was_state; verdict = was_verdict; fingerprint = was_fingerprint; token = was_token; behind = was_behind;
  lease = was_lease; due = was_due; long_ago = was_long_ago; listed = was_listed; fresh[0] = false; fresh[1] = false; reader = NOBODY;
  for (j : 0 .. M - 1) {
    answer[j] = was_answer[j]; events[j] = was_events[j]; body[j] = was_body[j]; ready[j] = was_ready[j];
    delayed[j] = was_delayed[j]; is_parked[j] = was_parked[j]; owing_token[j] = DIED
  }
  for (j : 0 .. 5) { acks[j] = was_acks[j] }
  /* A token is one claim's. A later claim of that worker has another. */
  for (j : 0 .. W - 1) { if :: token == j + 1 && !this_claim[j] -> token = DIED :: else fi }
  /* Who waits for the replicas of a server that is gone waits in vain. */
  for (j : 0 .. W - 1) { if :: phase[j] == confirming -> op[j] = op_wait; owned[j] = true; phase[j] = settling :: else fi }
  j = 0
}

proctype replica() {
end1:
  atomic { forgets > 0 -> printf("a replica falls behind\n"); keep() };
end2:
  atomic { forgets > 0 -> forgets--; printf("that replica takes over\n"); forget() }
}
#endif

proctype worker(byte w) {
end:
  do
  :: atomic { phase[w] == idle && FETCHABLE(0) && IN_TURN(0, 1) -> fetch(w, 0); turn = 1; if :: !cut && HELD(w, 0) -> at[w] = 0; phase[w] = claiming :: else fi }
  :: atomic { phase[w] == idle && FETCHABLE(1) && IN_TURN(1, 0) -> fetch(w, 1); turn = 0; if :: !cut && HELD(w, 1) -> at[w] = 1; phase[w] = claiming :: else fi }
  :: atomic { phase[w] == idle && (HELD(w, 0) || HELD(w, 1)) ->    /* the reply to a fetch was lost: reconciled */
     if :: HELD(w, 0) -> hand_back(w, 0) :: else -> hand_back(w, 1) fi }
  :: atomic { phase[w] == claiming ->
     claim(w + 1, w, at[w]);
     true_answer(at[w]);
     printf("worker %d claims for message %d: %e\n", w, at[w], word);
     if
     :: cut                    /* it is repeated, under the same token */
     :: !cut && word == call -> may_send[w] = lease && token == w + 1; phase[w] = confirming
     :: !cut && word == read_back -> phase[w] = listing
     :: !cut && word == is_found -> to_settle(w, op_done, true)
     :: !cut && word == expired -> to_settle(w, op_failed, true);
        assert(effects == 0 && QUIET)
     :: !cut && word == is_cancelled -> to_settle(w, op_failed, !others);
        assert(others || (effects == 0 && QUIET))
     :: !cut && word == ended_unknown -> to_settle(w, op_unknown, true)
     :: !cut && word == replay -> to_settle(w, op_replay, false)
     :: !cut && (word == conflict || word == waited) -> to_settle(w, op_failed, false)
     :: !cut && (word == gone || word == answered || word == busy || word == parked) -> rest(w)
     fi }
  /* With REDIS_WAIT_REPLICAS nothing is sent before a replica has the claim: what takes over can be no older. */
  :: atomic { phase[w] == confirming ->
#ifdef WAIT
     if :: kept -> keep() :: else fi;
#endif
     phase[w] = checking }
  /* The last check before the first byte, and the byte: one step, unless a freeze comes between them. */
  :: atomic { phase[w] == checking && !may_send[w] -> to_settle(w, op_wait, true) }
  :: atomic { phase[w] == checking && may_send[w] ->
#ifdef FREEZE
     phase[w] = sending }
  :: atomic { phase[w] == sending ->
#endif
     printf("worker %d sends the call\n", w);
     /* Once `cancel` has returned no new call begins. */
     assert(!cancelled[at[w]] || granted[w]);
     flying[w] = true; phase[w] = hearing }
  :: atomic { phase[w] == checking && losses > 0 -> losses--; to_settle(w, op_wait, true) }        /* no connection */
  :: atomic { phase[w] == hearing && heard[w] ->
     heard[w] = false;
     if
     :: says[w] == ok -> to_settle(w, op_done, true)
     :: says[w] == refused -> to_settle(w, op_failed, true)
     :: says[w] == not_now -> to_settle(w, op_wait, true)
     :: says[w] == silence -> to_settle(w, op_lost, true)
     fi;
     says[w] = 0 }
  :: atomic { phase[w] == hearing && flying[w] && losses > 0 ->                                     /* no answer in time */
     losses--; printf("worker %d hears nothing in time\n", w);
     flying[w] = false; strays++; to_settle(w, op_lost, true) }
  :: atomic { phase[w] == settling ->
     settle(w + 1, w, at[w], op[w], owned[w]);
     printf("worker %d settles message %d as %e\n", w, at[w], op[w]);
     true_answer(at[w]);
     if :: cut :: else -> rest(w) fi }
  :: atomic { phase[w] == listing ->
     list_unknowns();
     fresh[w] = listed;
     if
     :: effects > 0 -> seen[w] = found
     :: effects == 0 && long_ago -> seen[w] = missing
     :: effects == 0 && !long_ago -> seen[w] = undecided    /* the API may still be at work */
     :: doubts > 0 -> doubts--; seen[w] = undecided
     fi;
     printf("worker %d reads the listing: %e\n", w, seen[w]);
     phase[w] = judging }
  :: atomic { phase[w] == judging ->
     judge(w + 1, fresh[w], seen[w]);
     if :: cut :: else -> fresh[w] = false; seen[w] = 0; phase[w] = claiming fi }
  :: atomic { kills > 0 && phase[w] != idle -> kills--; printf("worker %d dies\n", w); die(w) }
  od
}

proctype api() {
  byte w;
end:
  do
  :: atomic { flying[0] || flying[1] ->
     if :: flying[0] -> w = 0 :: flying[1] -> w = 1 fi;
     flying[w] = false; heard[w] = true;
     if
     :: printf("the API carries out the call of worker %d\n", w); effects++; if :: says[w] = ok :: losses > 0 -> losses--; says[w] = silence fi
     :: losses > 0 -> losses--; if :: says[w] = silence :: says[w] = refused :: says[w] = not_now fi
     fi }
  :: atomic { strays > 0 -> strays--;
     if :: printf("the API carries out a call that nobody waits for\n"); effects++ :: true fi }
  od
}

#ifdef LIVE
/* A worker that oversleeps each of its leases gets nothing done. */
#define OVERSLEPT (token == DIED || freezes > 0)
#define STRIKE if :: token != DIED -> freezes-- :: else fi;
#else
#define OVERSLEPT true
#define STRIKE
#endif
#define TAKEN(w, m) (HELD(w, m) && takeovers > 0)

proctype time_and_faults() {
end:
  do
  :: atomic { state == running && lease && OVERSLEPT -> STRIKE printf("the lease ends\n"); lease = false;
     if :: token == 1 -> may_send[0] = false :: token == 2 -> may_send[1] = false :: else fi }
  /* The API is asked once it has had the time to carry out what it ever will. */
#ifdef LATE
  :: atomic { state == unknown && !due -> due = true; long_ago = true }
#else
  :: atomic { state == unknown && !due && QUIET -> due = true; long_ago = true }
#endif
  :: atomic { reader == REST -> reader = NOBODY }
  :: atomic { HELD(W, 0) -> hand_back(W, 0) }
  :: atomic { HELD(W, 1) -> hand_back(W, 1) }
  /* A worker that is frozen, or slow, is believed dead. */
  :: atomic { TAKEN(0, 0) -> takeovers--; printf("message 0 is taken from worker 0, which lives\n"); hand_back(0, 0) }
  :: atomic { TAKEN(0, 1) -> takeovers--; printf("message 1 is taken from worker 0, which lives\n"); hand_back(0, 1) }
  :: atomic { TAKEN(1, 0) -> takeovers--; printf("message 0 is taken from worker 1, which lives\n"); hand_back(1, 0) }
  :: atomic { TAKEN(1, 1) -> takeovers--; printf("message 1 is taken from worker 1, which lives\n"); hand_back(1, 1) }
#ifdef DEADLINES
  :: atomic { !overdue[0] -> overdue[0] = true }
  :: atomic { !overdue[1] -> overdue[1] = true }
#endif
  :: atomic { pauses > 0 && !paused -> pauses--; paused = true }
  :: atomic { cancels > 0 && !cancelled[0] -> cancel(0) }
  :: atomic { cancels > 0 && !cancelled[1] -> cancel(1) }
  :: atomic { paused -> paused = false }
  :: atomic { !paused && is_parked[0] -> bring_back(0) }
  :: atomic { !paused && is_parked[1] -> bring_back(1) }
  od
}

init {
  atomic {
    cuts = CUTS;
    enqueue(0); enqueue(1);
#ifdef DIFFER
    asks[1] = 2;
#endif
    run worker(0); run worker(1); run api(); run time_and_faults();
#if FORGETS > 0
    run replica();
#endif
  }
}

/* Always: one effect, one answer each, and nothing lost. */
#define SOMEWHERE(m) (ready[m] || delayed[m] || is_parked[m] || HELD(0, m) || HELD(1, m) || HELD(W, m))
active proctype always() {
end:
  do
  :: atomic { effects > 1 -> assert(false) }
  :: atomic { events[0] > 1 || events[1] > 1 -> assert(false) }
  :: atomic { body[0] && !SOMEWHERE(0) && events[0] == 0 -> assert(false) }
  :: atomic { body[1] && !SOMEWHERE(1) && events[1] == 0 -> assert(false) }
  od
}

#ifdef LIVE
ltl answered_in_the_end { <> ANSWERED }
#endif
