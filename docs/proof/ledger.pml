/* ledger.pml: what stands in Redis about one idempotency key and its messages, and the scripts that change it.

   Each script is one step, as Redis runs it, and its writes stand here in the order in which the script makes them. Redis does not roll
   back: where `cuts` allows it, a script ends after any of its writes (CUT), and whoever ran it runs it again. Names are those of
   delivery/lua and workers/broker/lua. Times are not numbers here but what is compared with them: a lease is over or not, a look is due
   or not. protocol.pml sets these pieces to work; the tests replay on them what the real scripts did. */

#define M 2                    /* messages */
#define W 2                    /* workers; the holder W is one that died */
#define NOBODY 0               /* no token */
#define DIED 255               /* the token of a claim whose worker died: no one writes under it again */
#define REST 254               /* nobody reads the listing, and nobody may begin yet */

#ifndef DERIVED
#define DERIVED false
#endif
bool derived = DERIVED;        /* is the key made of less than what the job asks for? */

mtype = { absent, running, waiting, unknown, done };                         /* states of the record */
mtype = { untold, found, missing, undecided };                               /* verdicts; "missing" is called absent in Lua */
mtype = { not_answered, owing, given };                                      /* answered.lua */
mtype = { gone, answered, conflict, replay, call, busy, parked, waited, expired, ended_unknown, is_found, is_cancelled, read_back };  /* claim's words */
mtype = { op_done, op_replay, op_failed, op_unknown, op_wait, op_lost };     /* settle's ops */

/* The record. */
mtype state = absent;
mtype verdict = untold;
byte fingerprint = 0;          /* what the job asks for; 0: nothing on record */
byte token = NOBODY;
bool lease = false;            /* does it last? */
bool due = false;              /* may the listing be asked? */
bool long_ago = false;         /* has READ_BACK_AFTER_SECONDS passed since the call was lost? */
bool listed = false;           /* does it stand among those that wait for a listing? */
byte behind = M;               /* the message to wake */
byte reader = NOBODY;          /* who reads the listing */
bool paused = false;
bool cancelled[M];             /* cancel.lua */

/* The messages. One may stand in two places after a script was cut; the ledger makes up for it. */
byte asks[M] = 1;              /* its fingerprint */
bool body[M], ready[M], delayed[M], is_parked[M], overdue[M];
bool acks[6];                  /* acks[holder * M + message] */
mtype answer[M] = not_answered;
byte owing_token[M];
mtype owing_op[M];
byte events[M];                /* how many answers the stream holds */
mtype told[M];                 /* the op of the last */

bool fresh[W];                 /* is what this worker reads in the listing about the lost call that is on record now? */
byte cuts = 0;
bool cut;
mtype word;
bool mine, others;

#define CUT if :: !cut && cuts > 0 -> cuts--; cut = true :: true fi
#define HELD(w, m) acks[(w) * M + (m)]

inline lose() { state = unknown; due = false; long_ago = false; listed = true; fresh[0] = false; fresh[1] = false }
inline give(m, op) { events[m]++; told[m] = op; answer[m] = given }     /* the marker can't be refused: the same command noted it */
inline enqueue(m) { body[m] = true; ready[m] = true }

inline fetch(w, m) {           /* fetch.lua */
  cut = false;
  if
  :: body[m] -> HELD(w, m) = true; CUT
  :: else
  fi;
  if
  :: !cut && delayed[m] -> delayed[m] = false
  :: !cut && !delayed[m] -> ready[m] = false
  :: else
  fi
}

inline hand_back(w, m) {       /* hand_back.lua, of a worker that stopped or is believed dead */
  cut = false;
  if
  :: HELD(w, m) && body[m] -> ready[m] = true; CUT
  :: else
  fi;
  if :: !cut -> HELD(w, m) = false :: else fi
}

inline bring_back(m) { delayed[m] = true; is_parked[m] = false }        /* unpark.lua */

inline defer(w, m) {
  delayed[m] = true;
  CUT;
  if :: !cut -> HELD(w, m) = false :: else fi
}

inline own(tok, m, as) { state = as; fingerprint = asks[m]; token = tok }

inline claim(tok, w, m) {      /* claim.lua; sets `word` */
  cut = false;
  word = 0;
  /* 1. Is the message still here, and was it, or its job, answered before? */
  if
  :: !HELD(w, m) -> word = gone
  :: else
  fi;
  if
  :: word == 0 && answer[m] == owing -> give(m, owing_op[m])
  :: else
  fi;
  if
  :: word == 0 && answer[m] == given -> HELD(w, m) = false; CUT; if :: !cut -> body[m] = false :: else fi; word = answered
  :: else
  fi;
  others = fingerprint != 0 && fingerprint != asks[m];
  if
  :: word == 0 && others && (state == done || !derived) -> word = conflict
  :: else
  fi;
  if
  :: word == 0 && state == done -> word = replay
  :: else
  fi;
  /* 2. Is a call under way? */
  if
  :: word == 0 && state == running && token == tok -> word = call
  :: word == 0 && state == running && token != tok && lease -> defer(w, m); word = busy
  :: word == 0 && state == running && token != tok && !lease ->
     lose();                   /* its worker died, and nobody knows how far it came */
     CUT;
     if :: !cut -> token = NOBODY; verdict = untold :: else fi;
     CUT
  :: else
  fi;
  if
  :: word == 0 && !cut && state == unknown && verdict == found && others -> word = conflict
  :: word == 0 && !cut && state == unknown && verdict == found && !others -> own(tok, m, unknown); CUT; word = is_found
  :: else
  fi;
#ifdef RETRIED                 /* two ways to break it: who was tried before is not looked at, and who may have been carried out ends at once */
#define IS_CANCELLED(m) (cancelled[m] && state == absent)
#else
#ifdef HASTY
#define IS_CANCELLED(m) cancelled[m]
#else
#define IS_CANCELLED(m) (cancelled[m] && !(state == unknown && verdict != missing))
#endif
#endif
  if
  :: word == 0 && !cut && IS_CANCELLED(m) ->
     if :: !others -> own(tok, m, waiting); CUT :: else fi;
     word = is_cancelled
  :: else
  fi;
  /* 3. Must it wait for another job? */
  if
  :: word == 0 && !cut && others && overdue[m] ->
     if
     :: state == unknown && behind == m -> verdict = untold; CUT; if :: !cut -> listed = false :: else fi
     :: else
     fi;
     word = waited
  :: word == 0 && !cut && others && !overdue[m] && behind != M && behind != m ->
     if :: body[behind] -> defer(w, m); word = busy :: else fi
  :: else
  fi;
  /* 4. Is the account held, or the deadline over? */
  if
  :: word == 0 && !cut && paused ->
     is_parked[m] = true; CUT; if :: !cut -> HELD(w, m) = false :: else fi; word = parked
  :: else
  fi;
  if
  :: word == 0 && !cut && overdue[m] && state == unknown && verdict != missing -> own(tok, m, unknown); CUT; word = ended_unknown
  :: word == 0 && !cut && overdue[m] && !(state == unknown && verdict != missing) -> own(tok, m, waiting); CUT; word = expired
  :: else
  fi;
  /* 5. Read back, or call. */
  if
  :: word == 0 && !cut && state == unknown && verdict != missing ->
     behind = m;
     CUT;
     if :: !cut -> listed = true :: else fi;
     if
     :: !cut && due && (reader == NOBODY || reader == tok) -> reader = tok; CUT; word = read_back
     :: !cut && !(due && (reader == NOBODY || reader == tok)) -> defer(w, m); word = busy
     :: else
     fi
  :: word == 0 && !cut && !(state == unknown && verdict != missing) ->
     own(tok, m, running); lease = true; behind = m;
     CUT;
     if :: !cut -> verdict = untold; due = false :: else fi;
     CUT;
     word = call
  :: else
  fi
}

inline settle(tok, w, m, op, owned) {   /* settle.lua; sets `mine`: was the record still this claim's? */
  cut = false;
  mine = true;
  if
  :: answer[m] == owing && owing_token[m] != tok -> give(m, owing_op[m])    /* another answer was in hand before: it stands */
  :: else
  fi;
  if
  :: answer[m] == given ->
     if :: HELD(w, m) -> HELD(w, m) = false; CUT; if :: !cut -> body[m] = false :: else fi :: else fi
  :: else ->
     bool owns = owned && (token == tok && state != absent || (state == absent && (op == op_done || op == op_lost))
                           || (op == op_done && state == unknown && (token == NOBODY || verdict == found) && fingerprint == asks[m]));
     if
     :: owned && !owns && answer[m] != owing -> mine = false
     :: !(owned && !owns && answer[m] != owing) && op != op_wait && op != op_lost ->
        answer[m] = owing; owing_token[m] = tok; owing_op[m] = op;
        CUT;
        if
        :: !cut && owns && op == op_done -> state = done; fingerprint = asks[m]; CUT
        :: !cut && owns && op == op_unknown -> state = unknown; CUT
        :: else
        fi;
        if :: !cut -> give(m, op); CUT :: else fi;
        if
        :: !cut && owns ->
           listed = false;
           CUT;
           if
           :: !cut && op == op_unknown -> token = NOBODY
           :: !cut && op == op_done -> token = NOBODY; verdict = untold; lease = false; behind = M; due = false
           :: !cut && op != op_unknown && op != op_done ->
              state = absent; fingerprint = 0; token = NOBODY; verdict = untold; lease = false; behind = M; due = false
           :: else
           fi;
           CUT
        :: else
        fi;
        if
        :: !cut && HELD(w, m) -> HELD(w, m) = false; CUT; if :: !cut -> body[m] = false :: else fi
        :: else
        fi
     :: !(owned && !owns && answer[m] != owing) && op == op_wait ->
        state = waiting;
        CUT;
        if :: !cut && HELD(w, m) -> defer(w, m) :: else fi;
        if :: !cut -> token = NOBODY :: else fi
     :: !(owned && !owns && answer[m] != owing) && op == op_lost ->
        if :: state == absent -> fingerprint = asks[m]; CUT :: else fi;
        if :: !cut -> lose(); CUT :: else fi;
        if :: !cut && HELD(w, m) -> defer(w, m) :: else fi;
        if :: !cut -> token = NOBODY; verdict = untold :: else fi
     fi
  fi;
  owns = false
}

inline list_unknowns() {       /* unknowns.lua */
  listed = listed && state == unknown && verdict == untold
}

inline judge(tok, same_call, what) {    /* verdicts.lua, of what a listing told about the call that is on record, or about another */
  cut = false;
  if :: reader == tok -> reader = REST; CUT :: else fi;
  if
  :: !cut && !(same_call && state == unknown && verdict != found && (behind == M || body[behind])) -> listed = false
  :: !cut && same_call && state == unknown && verdict != found && (behind == M || body[behind]) && what == undecided -> due = false
  :: !cut && same_call && state == unknown && verdict != found && (behind == M || body[behind]) && what != undecided ->
     verdict = what;
     CUT;
     if :: !cut -> listed = false :: else fi
  :: else
  fi
}
