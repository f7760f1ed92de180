"""The study: trials of the methods, their statistics, and the report that is made from them."""
