"""What is compared, a module each: `run(settings, shop)` measures, `show(records, peak)` makes Markdown of it."""
