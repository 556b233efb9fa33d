"""Custom Keras models are trained like built-in networks, with their input shapes, or refused with a reason."""

import copy
import re

import numpy as np
import pytest
from agents import new_agent
from gymnasium.spaces import Box
from probes import Probe, RewardByForces

from agent import PPO, PPOConfig, evaluate, load, preset_config
from agent.actors import copy_of
from agent.errors import UnsupportedSpaceError
from agent.process.backend import keras
from agent.runs.directory import RunDirectory

SYNC = PPOConfig(
    num_envs=4,
    steps_per_epoch=64,
    minibatch_size=32,
    epochs=100,
    hidden_sizes=(64, 64),
    seed=3,
    target_return=None,
    vectorization="sync",
)
FORCES = SYNC.replace(env_id=None, vectorization="auto")


def dense(num_outputs, *, inputs=4, normalized=False):
    layers = [keras.layers.LayerNormalization()] if normalized else []
    hidden = keras.layers.Dense(16, activation="tanh")
    return keras.Sequential([keras.Input((inputs,)), *layers, hidden, keras.layers.Dense(num_outputs)])


def gaussian(num_entries, inputs=1):
    observations = keras.Input((inputs,))
    hidden = keras.layers.Dense(16, activation="tanh")(observations)
    outputs = {name: keras.layers.Dense(num_entries, name=name)(hidden) for name in ("log_std", "mean")}
    return keras.Model(observations, outputs)


@pytest.mark.parametrize("is_normalized", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_models_like_those_that_are_built_are_trained_alike(is_normalized):
    config = SYNC.replace(normalize_observations=is_normalized, normalize_rewards=is_normalized)
    with PPO(config) as built:
        actor, critic = (copy_of(network.model) for network in (built._networks.actor, built._networks.critic))
        with PPO(config, actor=actor, critic=critic) as ours:
            for agent in (built, ours):
                for _ in range(2):
                    agent.train_epoch()
            before, after = built.get_state(), ours.get_state()
            assert before.keys() == after.keys()
            for name in before:
                if name.startswith(("actor", "critic", "statistics")):
                    np.testing.assert_allclose(after[name], before[name], rtol=2e-3, atol=2e-4, err_msg=name)
            assert is_normalized or ours.actor is actor


@pytest.mark.slow
def test_a_continuous_model_gives_means_and_log_stds_and_is_trained():
    with PPO(FORCES, actor=gaussian(4), critic=dense(1, inputs=1), make_env=lambda: RewardByForces(5)) as ppo:
        before = ppo.actor.get_weights()
        rollout = ppo.collect()
        outputs = ppo.actor(rollout.observations.reshape(-1, 1))
        assert ppo.predict(np.zeros(1)).shape == (2, 2)
        ppo.train_epoch()
        assert any((now != then).any() for now, then in zip(ppo.actor.get_weights(), before, strict=True))
    deviations = (rollout.actions.reshape(-1, 4) - outputs["mean"]) / np.exp(outputs["log_std"])
    assert 0.8 < np.std(deviations) < 1.2


@pytest.mark.slow
def test_a_critic_alone_leaves_cartpole_to_the_kernel():
    with PPO(SYNC.replace(vectorization="auto"), critic=dense(1)) as ppo:
        assert ppo.is_exact
        ppo.train_epoch()


def layers_for_images():
    return [keras.layers.Rescaling(0.01), keras.layers.Conv2D(4, 3)]


class Subclassed(keras.Model):
    """A model that does not know its input shape before it is called."""

    def __init__(self, num_outputs):
        super().__init__()
        self.layers_in_order = [*layers_for_images(), keras.layers.Flatten(), keras.layers.Dense(num_outputs)]

    def call(self, images):
        for layer in self.layers_in_order:
            images = layer(images)
        return images


def unbuilt(num_outputs):
    return keras.Sequential([*layers_for_images(), keras.layers.Flatten(), keras.layers.Dense(num_outputs)])


def of_any_size(num_outputs):
    pooling = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential(
        [keras.Input((None, None, 2)), *layers_for_images(), pooling, keras.layers.Dense(num_outputs)]
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", [Subclassed, unbuilt, of_any_size])
@pytest.mark.parametrize("is_normalized", [False, True])
def test_models_without_a_declared_input_shape_are_called_to_find_it(network, is_normalized):
    config = FORCES.replace(normalize_observations=is_normalized)
    with PPO(config, actor=network(2), critic=network(1), make_env=lambda: Shade(1)) as ppo:
        before = ppo.actor.get_weights()
        ppo.train_epoch()
        assert not np.array_equal(ppo.actor.get_weights()[-1], before[-1])
        assert evaluate(ppo.actor, make_env=lambda: Shade(1), episodes=2).episodes == 2


def test_settings_that_come_from_a_preset_make_way_for_a_model():
    config = preset_config("fast", env_id="Pendulum-v1")
    with PPO(config, actor=gaussian(1, 3)) as ppo:
        assert (ppo.config.exploration, ppo.config.noise_interval, ppo.config.initial_log_std) == (
            "independent",
            None,
            0.0,
        )


class Shade(Probe):
    """The observation is a bright or a dark image; the action that names its brightness is rewarded."""

    observation_space = Box(0, 255, (6, 6, 2), np.uint8)

    def observation(self):
        if self.step_number == 0:
            self.is_bright = int(self.np_random.integers(2))
        return self.np_random.integers(0, 100, (6, 6, 2)).astype(np.uint8) + np.uint8(100 * self.is_bright)

    def reward(self):
        return float(self.action == self.is_bright)


def convolutional(num_outputs):
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="tanh"),
            keras.layers.Flatten(),
            keras.layers.Dense(num_outputs),
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("is_normalized", [False, True])
def test_images_reach_a_model_in_their_own_shape_and_are_learned_from(tmp_path, is_normalized):
    config = FORCES.replace(
        policy_learning_rate=3e-3,
        value_learning_rate=3e-3,
        policy_update_epochs=4,
        normalize_observations=is_normalized,
    )
    networks = {"actor": convolutional(2), "critic": convolutional(1)}
    with PPO(config, **networks, make_env=lambda: Shade(1)) as ppo:
        for _ in range(40):
            ppo.train_epoch()
        assert ppo.evaluate().mean > 0.9
        image = np.full((6, 6, 2), 180, dtype=np.uint8)
        assert ppo.predict(image) == ppo.predict(image.reshape(-1)) == 1
        assert ppo.predict(np.stack([image, image, image // 3])).tolist() == [1, 1, 0]
        with pytest.raises(
            ValueError, match=re.escape("shape (72,) or (B, 72) or (6, 6, 2) or (B, 6, 6, 2), got shape (6, 6)")
        ):
            ppo.predict(image[..., 0])
        assert evaluate(ppo.actor, make_env=lambda: Shade(1), episodes=20).mean > 0.7
        run = RunDirectory(tmp_path / "run")
        run.create()
        run.write_config(ppo.config)
        run.write_checkpoint(ppo.get_state())
        again = {"actor": convolutional(2), "critic": convolutional(1)}
        with load(tmp_path / "run", **again, make_env=lambda: Shade(1)) as loaded, copy.deepcopy(ppo) as copied:
            for other in (loaded, copied):
                assert all(
                    np.array_equal(one, two)
                    for one, two in zip(ppo.actor.get_weights(), other.actor.get_weights(), strict=True)
                )
            copied.train_epoch()
            assert not np.array_equal(ppo.actor.get_weights()[-1], copied.actor.get_weights()[-1])


def test_images_need_a_model():
    with pytest.raises(UnsupportedSpaceError, match=r"by the networks that are built .* may take it: PPO"):
        PPO(FORCES, make_env=Shade)
    with pytest.raises(UnsupportedSpaceError, match="is not supported by the networks that are built"):
        PPO(FORCES, actor=convolutional(2), make_env=Shade)


@pytest.mark.slow
def test_layer_normalization_is_trained():
    # Functions that create the models are accepted as well.
    with PPO(SYNC, actor=lambda: dense(2, normalized=True), critic=dense(1, normalized=True)) as ppo:
        before = ppo.actor.get_weights()
        ppo.train_epoch()
        assert all((now != then).any() for now, then in zip(ppo.actor.get_weights(), before, strict=True))


def with_dropout():
    layers = [keras.layers.Dropout(0.5, name="drop"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *layers])


def with_batch_normalization():
    layers = [keras.layers.BatchNormalization(name="batch"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *layers])


class OnlyInTraining(keras.layers.Layer):
    def call(self, inputs, training=False):
        return inputs * (2.0 if training else 1.0)


def only_in_training():
    return keras.Sequential([keras.Input((4,)), OnlyInTraining(), keras.layers.Dense(2)])


def one_row():
    observations = keras.Input((4,))
    return keras.Model(observations, keras.ops.mean(keras.layers.Dense(2)(observations), axis=0, keepdims=True))


def with_losses():
    layer = keras.layers.Dense(2, kernel_regularizer="l2", name="penalized")
    return keras.Sequential([keras.Input((4,)), layer])


def frozen():
    model = dense(2)
    model.trainable = False
    return model


@pytest.mark.parametrize(
    ("actor", "message"),
    [
        (lambda: dense(3), "actor must map shape (None, 4) to (None, 2), not (None, 4) to (None, 3)."),
        (lambda: dense(2, inputs=5), "actor must map shape (None, 4) to (None, 2), not (None, 5) to (None, 2)."),
        (
            lambda: gaussian(2, 4),
            "actor must map shape (None, 4) to (None, 2): one array of logits, not a dict",
        ),
        (
            with_dropout,
            "actor must have no state that changes while it is trained, such as that of batch",
        ),
        (with_batch_normalization, "/batch/moving_variance."),
        (only_in_training, "actor must give the same outputs while it is trained as otherwise"),
        (one_row, "must map shape (None, 4) to (None, 2)"),
        (with_losses, "actor must have no losses of its own, got those of penalized."),
        (frozen, "actor must have trainable variables, got a model without any."),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_by_name(actor, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PPO(SYNC, actor=actor())


def test_a_continuous_actor_of_another_shape_is_refused_with_both_shapes():
    for model in (dense(4, inputs=1), gaussian(3)):
        with pytest.raises(ValueError, match=re.escape("to {'mean': (None, 4), 'log_std': (None, 4)}")):
            PPO(FORCES, actor=model, make_env=RewardByForces)


def test_a_deviation_that_is_one_row_for_all_is_refused():
    observations = keras.Input((1,))
    means = keras.layers.Dense(4)(observations)
    log_std = keras.ops.mean(keras.layers.Dense(4)(observations), axis=0, keepdims=True)
    model = keras.Model(observations, {"mean": means, "log_std": log_std})
    with pytest.raises(ValueError, match=re.escape("a dictionary of mean and log_std, not {")):
        PPO(FORCES, actor=model, make_env=RewardByForces)


def test_variables_that_would_not_be_trained_are_refused_by_name():
    observations = keras.Input((1,))
    hidden = keras.layers.Dense(8, activation="tanh")(observations)
    outputs = {name: keras.layers.Dense(4, name=name)(hidden) for name in ("mean", "log_std", "other")}
    with pytest.raises(ValueError, match="that its outputs do not depend on, got other/kernel, other/bias"):
        PPO(FORCES, actor=keras.Model(observations, outputs), make_env=lambda: RewardByForces(5))


def test_variables_that_both_networks_train_are_refused_by_name():
    observations = keras.Input((4,))
    shared = keras.layers.Dense(8, name="shared")(observations)
    actor, critic = (keras.Model(observations, keras.layers.Dense(size)(shared)) for size in (2, 1))
    with pytest.raises(ValueError, match="must share no trained variables, got shared/kernel, shared/bias in both"):
        PPO(SYNC, actor=actor, critic=critic)


@pytest.mark.slow
def test_preprocessing_may_be_shared():
    scaling = keras.layers.Normalization(mean=0.1, variance=2.0)
    actor, critic = (keras.Sequential([keras.Input((4,)), scaling, keras.layers.Dense(size)]) for size in (2, 1))
    with PPO(SYNC, actor=actor, critic=critic) as ppo:
        ppo.train_epoch()


@pytest.mark.parametrize("model", [3, "actor.keras", keras.layers.Dense(2)])
def test_objects_that_are_not_models_are_refused(model):
    with pytest.raises(TypeError, match="actor must be a Keras model, got "):
        PPO(SYNC, actor=model)


def test_settings_of_networks_that_are_not_built_are_refused():
    networks = {"actor": dense(2), "critic": dense(1)}
    for changes in ({"hidden_sizes": (8,)}, {"critic_hidden_sizes": (8,)}, {"activation": "relu"}):
        ((name, value),) = changes.items()
        message = f"with custom networks, on which it has no effect, got {value!r}"
        with pytest.raises(ValueError, match=f"^{name} must be .* {re.escape(message)}"):
            PPO(SYNC.replace(**changes), **networks)
    # hidden_sizes is allowed here, because the critic is still built.
    with PPO(SYNC.replace(hidden_sizes=(8,)), actor=networks["actor"]) as ppo:
        assert ppo.critic.get_weights()[0].shape == (4, 8)


def test_an_agent_with_models_of_the_users_cannot_be_restarted():
    message = "an agent with custom networks cannot be restarted"
    with PPO(SYNC, actor=dense(2)) as ppo, pytest.raises(ValueError, match=message):
        ppo.restart(SYNC.replace(seed=4))
    assert new_agent(SYNC.replace(hidden_sizes=(4,))) is not None


def of_grey_levels(num_outputs, dtype="uint8"):
    inputs = keras.Input((1,), dtype=dtype)
    hidden = keras.layers.Dense(8, activation="tanh")(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(num_outputs)(hidden))


class Grey(Probe):
    observation_space = Box(0, 255, (1,), np.uint8)

    def observation(self):
        return np.array([self.step_number % 256], np.uint8)


class Embedded(keras.Model):
    """Looks its observation up in a table; a subclassed model declares no dtype of its inputs."""

    def __init__(self, num_outputs):
        super().__init__()
        self.table, self.last = keras.layers.Embedding(256, 4), keras.layers.Dense(num_outputs)

    def call(self, observations):
        return self.last(self.table(keras.ops.cast(observations[:, 0], "int32")))


@pytest.mark.parametrize("make", [of_grey_levels, lambda n: of_grey_levels(n, "int32"), Embedded])
def test_networks_that_take_whole_numbers_get_them_unchanged_or_are_refused(make):
    config = FORCES.replace(normalize_observations=True)
    with pytest.raises(ValueError, match="normalize_observations must be False with this actor, which takes whole num"):
        PPO(config, actor=make(2), critic=of_grey_levels(1, "float32"), make_env=lambda: Grey(300))
    with pytest.raises(ValueError, match="normalize_observations must be False with this critic"):
        PPO(config, actor=of_grey_levels(2, "float32"), critic=make(1), make_env=lambda: Grey(300))
    actor = make(2)
    with PPO(
        config.replace(normalize_observations=False), actor=actor, critic=make(1), make_env=lambda: Grey(300)
    ) as ppo:
        levels = np.arange(256, dtype=np.float32)[:, None]
        outputs = ppo._networks.snapshot().policy.outputs(levels)
        assert len(np.unique(outputs, axis=0)) == 256
        np.testing.assert_allclose(outputs, actor(levels.astype(np.uint8)), atol=1e-6)


def test_a_network_of_whole_numbers_is_refused_where_observations_have_fractions():
    with pytest.raises(ValueError, match=r"actor must take observations of Box.*, got a model whose input is uint8"):
        PPO(FORCES, actor=of_grey_levels(2), make_env=Probe)


def test_networks_of_a_saved_run_are_not_normalized_twice():
    config = FORCES.replace(normalize_observations=True, normalize_rewards=True)
    with PPO(config, make_env=Probe) as first:
        first.train_epoch()
        actor, critic = copy_of(first.actor), copy_of(first.critic)
    for name, given in (("actor", {"actor": actor}), ("critic", {"critic": critic})):
        with pytest.raises(ValueError, match=f"normalize_observations must be False with this {name}.*fastppo.load"):
            PPO(config, make_env=Probe, **given)
    half = config.replace(normalize_observations=False)
    with pytest.raises(ValueError, match="normalize_rewards must be False with this critic"):
        PPO(half, make_env=Probe, critic=critic)
    observations = np.linspace(-1.0, 1.0, 5, dtype=np.float32)[:, None]
    with PPO(half, make_env=Probe, actor=actor) as second:
        np.testing.assert_allclose(second.actor(observations), first.actor(observations), atol=1e-6)


def ending_in(activation, size=2):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(size, activation=activation, name="last")])


class Probabilities(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.last = keras.layers.Dense(2)

    def call(self, observations):
        return keras.ops.softmax(self.last(observations))


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (lambda: ending_in("softmax"), "last"),
        (lambda: ending_in("sigmoid"), "last"),
        (lambda: keras.Sequential([*ending_in(None).layers, keras.layers.Softmax(name="shares")]), "shares"),
        (lambda: keras.Sequential([ending_in("softmax")]), "last"),
        (Probabilities, "own"),
    ],
)
def test_an_actor_that_returns_probabilities_is_warned_of(make, layer):
    with pytest.warns(RuntimeWarning, match=f"return logits, but its layer '{layer}' returns probabilities"):
        PPO(SYNC, actor=make())


def test_an_actor_that_returns_log_probabilities_is_not_warned_of():
    PPO(SYNC, actor=ending_in("log_softmax"), critic=ending_in("sigmoid", 1))


class Unserializable(keras.Model):
    def __init__(self, size):
        super().__init__()
        self.last = keras.layers.Dense(size)

    def call(self, observations):
        return self.last(observations)


def test_a_model_that_keras_cannot_save_is_refused_before_training(tmp_path):
    ppo = PPO(SYNC.replace(epochs=1), actor=Unserializable(2))
    for use in (lambda: ppo.train(run=tmp_path / "run"), lambda: ppo.save(tmp_path / "run")):
        with pytest.raises(
            ValueError, match=r"actor cannot be saved by Keras .* give Unserializable a method get_config"
        ):
            use()
    assert ppo.epoch == 0
    assert list(tmp_path.iterdir()) == []
