-- proof.lua: a prelude of other scripts. Redis does not roll back a script when it refuses one of its commands (by an ACL, say). So
-- scripts add first and remove last: when one is cut off in between, an entry is in two places, never in none. And before they add
-- anything, they try their removals on an id that nobody has: if a removal were only refused at the end, each repeat would add once more.

local NOBODY = '\0nobody'
