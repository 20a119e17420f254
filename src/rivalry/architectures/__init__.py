"""Architectures: functions from an input shape and a number of classes to an untrained network."""

from rivalry.architectures._classifier import Classifier, architecture

__all__ = ["Classifier", "architecture"]
