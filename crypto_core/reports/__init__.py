"""Documents for people: sections of facts and tables, and the forms that put them on a page."""
