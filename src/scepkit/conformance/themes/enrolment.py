"""enrolment: to be written."""
