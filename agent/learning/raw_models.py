"""Networks wrapped in normalization layers: models of the environment's raw observations and rewards."""

from __future__ import annotations

import numpy as np

from ..kernels.normalizing import LIMIT, Moments
from ..process.backend import computing_on, in_single_precision, keras
from .networks import Network

REWARD_SCALE = "reward_scale"
"""Name of the layer with which a critic returns values of raw rewards."""


class RawModel:
    """A Keras model of a normalization layer, a clip, a network and, for a critic, the reward scale.

    The network is the object that is trained. The layers around it are updated whenever the model is accessed, because
    the statistics change with every rollout.
    """

    def __init__(self, network: Network, *, is_normalized: bool, is_scaled: bool) -> None:
        """Wrap a network in layers if anything is normalized.

        Args:
            network: Maps observations, normalized or not, to outputs.
            is_normalized: Whether the network takes normalized observations.
            is_scaled: Whether the outputs are values of scaled rewards.
        """
        self._normalization = self._rescaling = None
        self._model = network.model
        if not (is_normalized or is_scaled):
            return
        shape = network.input_shape
        with computing_on("cpu"), in_single_precision():
            inputs = hidden = keras.Input(shape, dtype="float32", name="observations")
            if is_normalized:
                # The statistics are those of flat observations, whatever shape the network takes.
                flat = hidden if len(shape) == 1 else keras.layers.Flatten(dtype="float32", name="flattened")(hidden)
                self._normalization = keras.layers.Normalization(dtype="float32", name="normalization")
                hidden = keras.ops.clip(self._normalization(flat), -float(LIMIT), float(LIMIT))
                if flat is not inputs:
                    hidden = keras.layers.Reshape(shape, dtype="float32", name="in_shape")(hidden)
            outputs = network.model(hidden)
            if is_scaled:
                self._rescaling = keras.layers.Rescaling(1.0, dtype="float32", name=REWARD_SCALE)
                outputs = self._rescaling(outputs)
            self._model = keras.Model(inputs, outputs, name=f"raw_{network.model.name}")

    def up_to_date(self, observations: Moments | None, reward_deviation: float) -> keras.Model:
        """Return the model with updated statistics.

        Args:
            observations: Moments of the observations; None if they are not normalized.
            reward_deviation: The standard deviation by which rewards are divided.
        """
        if self._rescaling is not None:
            self._rescaling.scale = reward_deviation
        if self._normalization is not None and observations is not None:
            layer = self._normalization
            layer.adapt_mean.assign(observations.means.astype(np.float32))
            layer.adapt_variance.assign(observations.variances)
            layer.finalize_state()
        if self._model.predict_function is not None:
            # The traced function contains the old statistics.
            self._model.predict_function = None
        return self._model
