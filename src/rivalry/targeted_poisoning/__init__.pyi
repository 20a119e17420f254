# Generated: make generated
from rivalry.targeted_poisoning.feature_collision import feature_collision as feature_collision
