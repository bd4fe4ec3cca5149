"""Many runs under one parent."""
