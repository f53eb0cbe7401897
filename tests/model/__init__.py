"""The scheduling protocol as a model: every interleaving of small scenarios is tried, with and without each safeguard.

In it: SEND and END with their locks, the wall, relays that freeze and die, the clock, the topics, which are read in any
order, scheduler instances that freeze and die, and the release by the real rule. Abstracted: the scheduler's outbox is
what became of a message, and dispatcher takes the same release twice as one.

Taken for granted: what Postgres and Kafka promise. Statements see what was committed before them (READ COMMITTED), a
commit that was answered lasts, an acknowledged record stays where it is, a partition is read in order, T never changes.

`python -m tests.model` tells how many states there are, `--without SAFEGUARD` what goes wrong without it.
"""
