"""A made-up shop whose exports are exact in shape and whose truth is known.

Rehearsals, tests and benchmarks take their Amplitude exports, cohorts, merged ids, engagement
files and user directories from here. `world.World` is the entrance; `write` puts a world on disk.

How it is made, one module a step:

`casting`        who there is, what they do and which cohorts list them: a `script.Script`
`arrivals`       the script's visits as single events, in the order Amplitude receives them
`amplitude_ids`  which Amplitude id each arrival is given, and which ids are merged
`rows`           an arrival as a row of the Export API
`cohorts`        what the cohort list and the cohort files say at a step
`truth`          who is a member under which key, from the script alone
`archives`       the bytes of export archives, cohort files and merged-id files

Nothing here is drawn from a running random state: every choice is a hash of the seed and of what
is chosen (`noise`), so a world of any size gives the same bytes each time, hour by hour.
"""
