"""``python -m benchmarks.on_device``: does emjax give the same results on an accelerator, and how fast is it there?

A GPU is at hand rarely, without warning, for a quarter of an hour. So the command needs no installation, plans its time
(``--minutes``), begins with what is worth most, and writes each finding to a file as soon as it is known: a run that is
cut short leaves what it has measured. Where JAX's default device is a CPU all of it runs there, which shows that it
works, and nothing about accelerators.

`plan` runs steps in the order of their value while there is time; `parts` lists them. The work is done in two processes
(`worker`), one with the device and one that sees the host alone, so that a step that fails, hangs or runs out of memory
costs a record with its reason, and no more: `problems` (results), `speed` (times), `chains` (Hamiltonian Monte Carlo)
and `profile` (what binds the slowest row). `records` writes and reads the file, `tables` shows it.
"""
