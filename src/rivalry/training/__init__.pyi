# Generated: make generated
from rivalry.training.adversarial_fine_tuning import adversarial_fine_tuning as adversarial_fine_tuning
from rivalry.training.adversarial_training import adversarial_training as adversarial_training
from rivalry.training.defensive_distillation import defensive_distillation as defensive_distillation
from rivalry.training.ensemble_adversarial_training import (
    ensemble_adversarial_training as ensemble_adversarial_training,
)
from rivalry.training.external import external as external
from rivalry.training.fast_adversarial_training import fast_adversarial_training as fast_adversarial_training
from rivalry.training.l1_l2 import l1_l2 as l1_l2
from rivalry.training.parseval import parseval as parseval
from rivalry.training.pcl import pcl as pcl
from rivalry.training.plain import plain as plain
from rivalry.training.rubbish_class import rubbish_class as rubbish_class
from rivalry.training.scikit_learn import scikit_learn as scikit_learn
from rivalry.training.trades import trades as trades
