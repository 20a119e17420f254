"""Architectures: functions from an input shape and a number of classes to an untrained network."""

from rivalry.architectures._classifier import Classifier, architecture
from rivalry.architectures._estimator import Estimator

__all__ = ["Classifier", "Estimator", "architecture"]
