"""The screens of the page, each with what it shows and the forms that it takes."""
