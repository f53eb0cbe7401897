"""How many opt-outs of a list are put in force at a time: dispatch stands still while they are."""

FIRST, SMALLEST, LARGEST = 200, 20, 500
GOAL_S = 0.025  # an eighth of what dispatch may stand still at a time: the lock is also waited for


def next_size(size: int, held_s: float) -> int:
    """The size after a chunk of `size` that held the lock for `held_s`: it shrinks at once and grows by a quarter."""
    if held_s > GOAL_S:
        return max(SMALLEST, min(size // 2, int(size * GOAL_S / held_s)))
    return min(LARGEST, size + size // 4 + 1)
