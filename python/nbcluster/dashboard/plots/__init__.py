"""One plot per file. Each makes a Bokeh figure once, and shows in it whatever columns it is given."""
