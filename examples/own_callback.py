"""Stop training early with a custom callback when the mean return no longer improves."""

from fastppo import PPO, Callback, EpochMetrics, adapted_preset

PATIENCE = 10


class StopWithoutProgress(Callback):
    """Stops training after ``PATIENCE`` epochs without a new highest mean return."""

    def on_train_begin(self, ppo: PPO) -> None:
        """Reset the highest mean return."""
        self.highest, self.epoch = 0.0, 0

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Compare the latest mean return with the highest one so far."""
        if metrics.mean_return > self.highest:
            self.highest, self.epoch = metrics.mean_return, metrics.epoch
        elif metrics.epoch - self.epoch >= PATIENCE:
            ppo.stop_training = True

    def on_train_end(self, ppo: PPO) -> None:
        """Print the highest mean return."""
        print(f"highest mean return {self.highest:.1f}, in epoch {self.epoch} of {ppo.epoch}")


# Without a target return, training would run for all 100 epochs.
PPO(adapted_preset("fast", num_envs=64, target_return=None)).train(callbacks=[StopWithoutProgress()])
