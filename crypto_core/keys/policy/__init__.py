"""Key policies and grants: who may do what, in words; and the least that our roles need."""
