"""Training methods: each says what a victim learns from, and by which loss."""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.training.adversarial_training import adversarial_training as adversarial_training
    from rivalry.training.defensive_distillation import defensive_distillation as defensive_distillation
    from rivalry.training.plain import plain as plain
    from rivalry.training.scikit_learn import scikit_learn as scikit_learn

open_room(__name__)
