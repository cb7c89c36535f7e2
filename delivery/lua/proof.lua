-- proof.lua: a prelude of other scripts. Redis does not roll back a script of which one command is refused (by an ACL, say). So scripts add
-- first and remove last: what is cut off in between stands twice, never nowhere. And they try their removals before they add anything, on
-- an id that nobody has: were a removal refused at the end, each repeat of the script would add once more.

local NOBODY = '\0nobody'
