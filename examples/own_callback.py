"""Watch a training with a callback of your own, which stops it when learning has slowed down."""

from fastppo import PPO, Callback, EpochMetrics, adapted_preset

PATIENCE = 10


class StopWithoutProgress(Callback):
    """Ends the training after some epochs without a new highest mean return."""

    def on_train_begin(self, ppo: PPO) -> None:
        """Start to count."""
        self.highest, self.epoch = 0.0, 0

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Look at the latest mean return."""
        if metrics.mean_return > self.highest:
            self.highest, self.epoch = metrics.mean_return, metrics.epoch
        elif metrics.epoch - self.epoch >= PATIENCE:
            ppo.stop_training = True

    def on_train_end(self, ppo: PPO) -> None:
        """Say what came out."""
        print(f"highest mean return {self.highest:.1f}, in epoch {self.epoch} of {ppo.epoch}")


# Without a target return the training would take all of its 100 epochs.
PPO(adapted_preset("fast", num_envs=64, target_return=None)).train(callbacks=[StopWithoutProgress()])
