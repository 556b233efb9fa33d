"""What a function as a callback returns."""

from types import SimpleNamespace

import numpy as np
import pytest
from agents import agents_taken_back, new_agent

from agent import Callback, adapted_preset
from agent.callbacks import as_callbacks


def stops_training(callback):
    """Return whether a callback ends the training."""
    ppo = SimpleNamespace(stop_training=False)
    for one in as_callbacks(callback):
        one.on_epoch_end(ppo, None)
    return ppo.stop_training


@pytest.mark.parametrize("result", [False, np.False_, np.float64(3.0) > 4.0])
def test_a_function_that_returns_false_ends_the_training(result):
    assert stops_training(lambda *_: result)
    assert stops_training([lambda *_: result, lambda *_: True])


@pytest.mark.parametrize("result", [None, True, np.True_, 0, 0.0, "", (), np.zeros(2), np.float32(0.0)])
def test_training_goes_on_after_every_other_result(result):
    assert not stops_training(lambda *_: result)


def test_what_the_methods_of_a_callback_return_is_ignored():
    class ReturnsFalse(Callback):
        def on_epoch_end(self, ppo, metrics):
            return False

    assert not stops_training(ReturnsFalse())


def test_training_ends_after_the_epoch_whose_function_returned_false_and_can_be_continued():
    config = adapted_preset("fast", num_envs=4, steps_per_epoch=64, hidden_sizes=(4,), epochs=4, target_return=None)
    with agents_taken_back():
        ppo = new_agent(config)
        ppo.train(lambda agent, _: agent.epoch < 2)
        assert ppo.epoch == 2
        ppo.train()
        assert ppo.epoch == 4
