"""What workers share through Redis: permits, rates, budgets, locks. All of it may be lost."""
