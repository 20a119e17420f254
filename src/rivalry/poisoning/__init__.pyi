# Generated: make generated
from rivalry.poisoning.backdoor import backdoor as backdoor
from rivalry.poisoning.clean_label import clean_label as clean_label
