# Generated: make generated
from rivalry.poisoning.backdoor import backdoor as backdoor
