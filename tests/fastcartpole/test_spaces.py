"""Environments do not share spaces."""

import numpy as np
import pytest

from fastcartpole import CartPoleEnv, CartPoleVectorEnv

MAKERS = {
    "single": (CartPoleEnv, lambda environment: environment.action_space),
    "batch": (lambda: CartPoleVectorEnv(64), lambda environment: environment.action_space),
    "one of a batch": (lambda: CartPoleVectorEnv(64), lambda environment: environment.single_action_space),
}


def samples(space, number=64):
    return np.array([space.sample() for _ in range(number)]).tobytes()


@pytest.mark.parametrize("kind", MAKERS)
def test_fresh_environments_draw_different_actions(kind):
    make, space_of = MAKERS[kind]
    assert len({samples(space_of(make())) for _ in range(4)}) == 4


@pytest.mark.parametrize("kind", MAKERS)
def test_seeding_a_space_seeds_no_other(kind):
    make, space_of = MAKERS[kind]
    one, other = space_of(make()), space_of(make())
    one.seed(0)
    expected = samples(one)
    one.seed(0)
    other.seed(5)
    samples(other)
    assert samples(one) == expected
    one.seed(0)
    samples(space_of(make()))
    assert samples(one) == expected
