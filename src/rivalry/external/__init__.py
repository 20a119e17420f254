"""Networks that users bring, trained already: what names one, its weights, and what makes it a victim."""
