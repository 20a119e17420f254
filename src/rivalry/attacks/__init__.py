"""Evasion attacks: each changes test images so that a trained victim errs.

One attack is one function in one file. `rivalry.attacks.fgsm(victim, images, labels, eps=0.3)` returns adversarial
images; `rivalry.attacks.fgsm.run(...)` returns them with everything that was counted on the way. An attack is
found by its file's name; names with a leading underscore are the pieces attacks share. `autoattack` runs the strongest
of them one after the other.

Examples
--------
>>> import rivalry.attacks
>>> adversarial = rivalry.attacks.fgsm(victim, images, labels, eps=0.1)
>>> rivalry.attacks.fgsm.run(victim, images, labels, eps=0.1)
<fgsm, Linf, eps 0.1: 2 images, 2 attacked, 2 turned (100.0%)>
"""

from typing import TYPE_CHECKING

from rivalry.registry import open_room

if TYPE_CHECKING:  # what editors read
    from rivalry.attacks._autoattack import autoattack as autoattack
    from rivalry.attacks.adversarial_patch import adversarial_patch as adversarial_patch
    from rivalry.attacks.apgd_ce import apgd_ce as apgd_ce
    from rivalry.attacks.apgd_dlr import apgd_dlr as apgd_dlr
    from rivalry.attacks.apgd_targeted import apgd_targeted as apgd_targeted
    from rivalry.attacks.backdoor_trigger import backdoor_trigger as backdoor_trigger
    from rivalry.attacks.bim import bim as bim
    from rivalry.attacks.cw import cw as cw
    from rivalry.attacks.deepfool import deepfool as deepfool
    from rivalry.attacks.dynamic_deepfool import dynamic_deepfool as dynamic_deepfool
    from rivalry.attacks.fab import fab as fab
    from rivalry.attacks.fgsm import fgsm as fgsm
    from rivalry.attacks.fgvm import fgvm as fgvm
    from rivalry.attacks.hopskipjump import hopskipjump as hopskipjump
    from rivalry.attacks.i_fgsm import i_fgsm as i_fgsm
    from rivalry.attacks.illc import illc as illc
    from rivalry.attacks.jsma import jsma as jsma
    from rivalry.attacks.lbfgs import lbfgs as lbfgs
    from rivalry.attacks.mi_fgsm import mi_fgsm as mi_fgsm
    from rivalry.attacks.one_pixel import one_pixel as one_pixel
    from rivalry.attacks.pgd import pgd as pgd
    from rivalry.attacks.rand_fgsm import rand_fgsm as rand_fgsm
    from rivalry.attacks.random_noise import random_noise as random_noise
    from rivalry.attacks.semi_random_noise import semi_random_noise as semi_random_noise
    from rivalry.attacks.square import square as square
    from rivalry.attacks.substitute import substitute as substitute
    from rivalry.attacks.universal import universal as universal

open_room(__name__, autoattack="_autoattack")
