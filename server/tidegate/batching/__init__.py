"""Queue, batch former and learned service time of one revision: decisions without I/O.

Everything here is a synchronous object: ``now`` comes in (seconds, of whatever clock the caller has), decisions go out.
Nothing reads a clock, starts a task, logs, or touches a tensor's bytes. The shell around it calls on arrival, on
completion, when a replica has a free credit, and at the instant that ``Batcher.next_wake`` names; it never polls.

``Batcher`` is the door. Behind it: ``queue`` says who is next, ``former`` how much of it makes a batch, ``curve`` how
long that will take, ``outcome`` what becomes of a batch that failed.
"""
