"""The keys of an entry of `generators`. A configuration is checked with them, so nothing heavy is imported here."""

from __future__ import annotations

from rivalry.types import BatchSize, Epochs, Few, LearningRate, OpenFraction, Positive, Strict


class GeneratorKeys(Strict):
    """How a Wasserstein GAN with gradient penalty is built and trained (Gulrajani et al., 2017)."""

    latent: Few = 64
    """Numbers that an image is made of."""
    width: Few = 32
    """Channels of the widest maps but one, of the generator and of its critic."""
    epochs: Epochs = 100
    """Passes over the training images; which one is kept, says the energy distance to images held out."""
    batch_size: BatchSize = 64
    """Images per step."""
    learning_rate: LearningRate = 0.0005
    """Of RMSprop, for both networks."""
    critic_steps: Few = 5
    """Steps of the critic for each one of the generator."""
    penalty: Positive = 10.0
    """Weight of the gradient penalty."""
    average: OpenFraction = 0.999
    """Decay per step of the moving average of weights that is kept."""
