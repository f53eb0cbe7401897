"""Every named step of the dispatcher is one that chaos kills at, and every step it knows exists."""

import re

from tests.chaos.armed import DISPATCHER, KERNEL_STEPS
from tests.tidy.tree import modules

REACHED = re.compile(r'\breached\("([a-z]+\.[a-z]+)"\)')


def test_chaos_knows_the_steps_of_the_dispatcher() -> None:
    named = {step for module in modules("dispatcher") for step in REACHED.findall(module.read_text())}
    assert named == set(DISPATCHER) - {step for steps in KERNEL_STEPS.values() for step in steps}


def test_chaos_knows_the_steps_of_batch_loop_and_relay() -> None:
    named = {step for module in modules("kernel") for step in REACHED.findall(module.read_text())}
    assert named == {step for steps in KERNEL_STEPS.values() for step in steps}
