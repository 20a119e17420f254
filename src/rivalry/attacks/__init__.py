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

from rivalry.registry import open_room

open_room(__name__, autoattack="_autoattack")
