"""cnnexp"""
