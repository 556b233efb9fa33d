"""Print a digest of three epochs of preset ``fast``: another one for each way to round.

XLA and LLVM choose instructions, and so the order of sums, by the processor. ``.ci/run`` has the tests run as older
processors would compute, and compares digests to know that they do.
"""

import hashlib

from agent import PPO, adapted_preset

ppo = PPO(adapted_preset("fast", target_return=None))
for _ in range(3):
    ppo.train_epoch()
state = ppo.get_state()
print(hashlib.sha256(b"".join(state[name].tobytes() for name in sorted(state.keys() - {"elapsed_s"}))).hexdigest())
