"""Every measured claim of this project, as commands."""
