"""Generators: networks that make images like those of a training set out of latent points, without labels.

Nothing is imported here: `wgan` trains and loads one, `latents` finds the point whose image is nearest to a given one,
and `keys` says what an entry of `generators` may say, without importing PyTorch.
"""
