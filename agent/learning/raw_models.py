"""Networks with normalization around them: models that take and give the environment's own numbers."""

from __future__ import annotations

import numpy as np

from ..kernels.normalizing import LIMIT, Moments
from ..process.backend import computing_on, in_single_precision, keras
from .networks import Network


class RawModel:
    """A model of a normalization layer, a clip, a network and, for a critic, the scale of rewards: plain layers.

    The network is the same object as the one that is trained. The layers around it are brought up to date where the
    model is asked for, as statistics change with every rollout.
    """

    def __init__(self, network: Network, *, is_normalized: bool, is_scaled: bool) -> None:
        """Put layers around a network where there is something to normalize.

        Args:
            network: Observations as they are learned from, to outputs.
            is_normalized: Whether observations are normalized.
            is_scaled: Whether outputs are values of scaled rewards.
        """
        self._normalization = self._rescaling = None
        self._model = network.model
        if not (is_normalized or is_scaled):
            return
        shape = network.input_shape
        with computing_on("cpu"), in_single_precision():
            inputs = hidden = keras.Input(shape, dtype="float32", name="observations")
            if is_normalized:
                # Over vectors, whatever shape the network takes.
                flat = hidden if len(shape) == 1 else keras.layers.Flatten(dtype="float32", name="flattened")(hidden)
                self._normalization = keras.layers.Normalization(dtype="float32", name="normalization")
                hidden = keras.ops.clip(self._normalization(flat), -float(LIMIT), float(LIMIT))
                if flat is not inputs:
                    hidden = keras.layers.Reshape(shape, dtype="float32", name="in_shape")(hidden)
            outputs = network.model(hidden)
            if is_scaled:
                self._rescaling = keras.layers.Rescaling(1.0, dtype="float32", name="reward_scale")
                outputs = self._rescaling(outputs)
            self._model = keras.Model(inputs, outputs, name=f"raw_{network.model.name}")

    def up_to_date(self, observations: Moments | None, reward_deviation: float) -> keras.Model:
        """Return the model with statistics as they are now.

        Args:
            observations: Moments of observations; None where they are not normalized.
            reward_deviation: By which rewards are divided.
        """
        if self._rescaling is not None:
            self._rescaling.scale = reward_deviation
        if self._normalization is not None and observations is not None:
            layer = self._normalization
            layer.adapt_mean.assign(observations.means.astype(np.float32))
            layer.adapt_variance.assign(observations.variances)
            layer.finalize_state()
        if self._model.predict_function is not None:
            # What Keras has traced holds the statistics of its time.
            self._model.predict_function = None
        return self._model
