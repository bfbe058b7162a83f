/* The strike store: at most one release of one message, whatever the clock, the store
   and two racing callers do.

   One key is enough: others move the floor only, and a higher floor refuses more. The
   message is presented for ever, by two callers whose clock may be ahead of or behind
   the store's by SKEW (hosts of a fleet). A caller looks at its clock, then asks the
   store; anything may happen in between. The store's clock ticks, also many ticks in
   one go, and steps back twice. The store forgets what has expired, and twice it
   loses everything. A durable one keeps its high-water clock then; one in memory
   begins with its host's clock, and promises nothing unless that is at or past every
   clock at which it struck. Times are in ticks; "the same tick" stands for all
   that a coarse clock cannot tell apart. */

/*# two-steps: looking up and inserting are two steps */
/*# no-floor: the store does not remember what it forgot */
/*# no-since: the store vouches for times before it lost everything */
/*# tie: from = since is vouched for */
/*# future: from may be later than the store's clock */
/*# no-high-water: a durable store begins with the clock only, having lost its keys */
/*# broken-promise: a store in memory begins with a clock earlier than the one it struck at */
/*# two-untils: until depends on the caller, as if MaxAge entered into it */
/*# no-skew: from is sealed-at, not sealed-at less SKEW */

#define SKEW  1
#define LIFE  2                /* not-after less sealed-at */
#define NOON  4                /* the clock at the start: nothing is negative */
#define END   9

byte now = NOON;               /* the store's clock */
byte sealed, established;      /* sealed-at; when the caller's host had the context */
byte skew;                     /* the callers' clock is now + skew - SKEW */
bool made, durable, stepped;
byte losses, back;

bool seen;                     /* the store */
byte since, hw, flr;

byte top;                      /* the largest clock at which the store struck */
byte released;
bool turnedAway;               /* by a store that has nothing to be unsure about */

#define HERE   (now + skew - SKEW)
#define UNTIL  (sealed + LIFE + SKEW)
#define max(a, b) (a > b -> a : b)

active proctype clock() {
	do
	:: atomic { now < END -> now++ }
	:: atomic { back < 2 && now > NOON - 1 -> back++; now--; stepped = true }
	:: break
	od
}

active proctype originator() {
	if :: skew = 0 :: skew = SKEW :: skew = 2 * SKEW fi;
	if :: durable = true :: durable = false fi;
	established = HERE;
	if :: sealed = NOON - 1 :: sealed = NOON :: sealed = NOON + 1 :: sealed = NOON + 2 fi;
	made = true
}

active proctype purge() {
	made;
end:	do
	:: atomic { seen && now > UNTIL ->
		seen = false;
		flr = max(flr, UNTIL)                  /*! no-floor */
	   }
	od
}

active proctype loss() {
	made;
end:	do
	:: atomic { losses < 2 &&
		(durable || now >= top) ->             /*! broken-promise: true -> */
		losses++; seen = false; flr = 0;
		since = now;                           /*! no-since */
		if
		:: durable -> since = max(since, hw)   /*! no-high-water: :: durable -> skip */ /*! no-since: :: durable -> skip */
		:: else -> hw = 0
		fi
	   }
	od
}

active [2] proctype caller() {
	byte from, until;
	made;
end:	do
	:: atomic { sealed <= HERE + SKEW && HERE <= UNTIL ->
		from = max(sealed - SKEW, established); /*! no-skew: from = max(sealed, established); */
		until = UNTIL;                         /*! two-untils: if :: until = UNTIL :: until = UNTIL - 1 :: until = UNTIL + 1 fi; */
	   }
	   atomic {                                    /*! two-steps: { */
		if
		:: from <= since ->                    /*! tie: :: from < since -> */
			turnedAway = turnedAway || (losses == 0)
		:: from > now ->                       /*! future: :: false -> */
			turnedAway = turnedAway || (!stepped && skew == SKEW)
		:: until <= flr -> skip
		:: seen -> skip
		:: else ->
			seen = true;
			hw = max(hw, now); top = max(top, now);
			released++
		fi;
		from = 0; until = 0
	   }
	od
}

/*? once: true; false in two-steps, no-floor, no-since, tie, future, no-high-water, broken-promise, two-untils. */
ltl once { [] (released <= 1) }

/*? fresh: true; false in no-skew.
    While nothing was lost, no clock stepped back and the clocks agree, the store is
    not unsure. */
ltl fresh { [] !turnedAway }

/*? reach: false. */
ltl reach { [] (released == 0) }

/*? reach-memory: false. */
ltl reachMemory { [] (released == 0 || durable || losses == 0) }
